package wire

import "io"

// Message is a message as it is sent, with a body for the method.
func Message(method Method, head, body any) ([]byte, error) {
	return frames(head, body, limit{MaxFrame, MaxFrame})
}

// ReadFrame reads a frame that may be a method's request.
func ReadFrame(r io.Reader, method Method) ([]byte, error) {
	return readFrame(r, sizesOf(method).request)
}
