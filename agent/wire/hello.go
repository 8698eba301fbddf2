package wire

// Hello is the first line the agent writes to its standard output, before any
// frame. Whatever comes before it on the stream was printed by the host (a
// shell's start-up file, a banner) and is no part of the conversation.
const Hello = "lvsform-agent 1\n"
