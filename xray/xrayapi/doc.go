// Package xrayapi holds the messages of Xray's gRPC API that package xray
// exchanges with a node, generated from ../node.proto. Nothing else uses them.
package xrayapi

//go:generate go run -C ../../tools/proto . -proto ../../xray/node.proto -out ../../xray/xrayapi
