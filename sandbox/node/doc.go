// Package node runs a real VPN server, Xray with VLESS, REALITY and vision, for
// tests and the sandbox.
//
// It owns the server process, its keys and the cover site that REALITY needs,
// and nothing else: customers are added through the server's API, as in
// production, by whoever started it. The configuration is the one recommended
// for production, with two differences: the API is a loopback TCP port, so that
// faults can be put in front of it, and named loopback destinations are let
// through the tunnel, so that a customer can fetch a page of the sandbox.
package node
