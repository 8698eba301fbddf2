package testenv

// Available says why a lab of these options cannot run here; nil if it can.
func Available(o Options) error {
	_, err := chooseKernel(o)
	return err
}
