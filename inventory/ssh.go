package inventory

// sshOf reads how to reach a host over what to holds already: the file's
// defaults, when it is for a host.
func sshOf(to *SSH, host bool) form {
	o := object{
		name: "SSH",
		fields: []field{
			{key: "port", form: portOf(&to.Port), doc: "The TCP port of its SSH server."},
			{key: "user", form: nameOf(word(), &to.User), doc: "The user to log in as."},
			{key: "key", form: lineOf("the path of a private key", &to.Key), doc: "The file of the private key; `~` is the home directory."},
			{key: "jump", form: nameOf(word(), &to.Jump), doc: "The host to connect through: `[user@]host[:port]`, `ssh://[user@]host[:port]`, or the name of a host of this file. `none` connects directly, whatever ssh_config says."},
			{key: "sudo", preset: false, form: flagOf(&to.Sudo), doc: "Whether the agent is run through `sudo -n`."},
		},
		hints: map[string]string{"address": "write it in hosts.NAME.ssh.address: it is one host's"},
	}
	if host {
		o.name = "Host's SSH"
		o.hints = nil
		o.fields = append([]field{{key: "address", form: nameOf(word(), &to.Address),
			doc: "The host name or address to connect to."}}, o.fields...)
	}
	return objectOf(o)
}
