package testenv

import "fmt"

// launch is how a supervisor starts a kernel with the core in it. It inherits
// the stream's inner end.
type launch struct {
	Args       []string
	Env        []string
	CloneFlags uintptr // namespaces of its own
	OneCPU     bool    // keep it on one processor
	Ptrace     bool    // load makePtrace's library into it
	OpenFiles  bool    // let it have as many files open as the machine allows
}

const (
	streamInFD  = 3
	streamOutFD = 4
)

// chooseKernel says which kernel a lab runs on, or why it cannot.
func chooseKernel(o Options) (Kernel, error) {
	switch o.Kernel {
	case KernelNative:
		if err := checkNative(o.WithoutIPVS); err != nil {
			return "", fmt.Errorf("kernel native: %w", err)
		}
		return KernelNative, nil
	case KernelUML:
		if err := checkUML(); err != nil {
			return "", fmt.Errorf("kernel uml: %w", err)
		}
		return KernelUML, nil
	case KernelAuto, "":
		native := checkNative(o.WithoutIPVS)
		if native == nil {
			return KernelNative, nil
		}
		if uml := checkUML(); uml != nil {
			return "", fmt.Errorf("no kernel for the lab\n  native: %w\n  uml: %w", native, uml)
		}
		return KernelUML, nil
	}
	return "", fmt.Errorf("unknown kernel %q: it is %s, %s or %s", o.Kernel, KernelNative, KernelUML, KernelAuto)
}
