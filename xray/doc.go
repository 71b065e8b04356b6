// Package xray drives one Xray server (VLESS, REALITY, Vision) over its gRPC API
// and writes the links by which customers connect to it. It implements shop.Node.
//
// Xray keeps clients in memory and answers nearly every refusal with the code
// Unknown and an English sentence, so nothing here is decided by an error's text:
// an operation that was refused is settled by reading the client back. The node
// keeps nothing over a restart; making it whole again is the caller's duty.
//
// A client's UUID and link are secrets: no error of this package contains one.
package xray
