// Command proto turns one .proto file into Go code without protoc. It is a module
// of its own, so that the compiler stays out of the product's go.mod.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	source := flag.String("proto", "", "the .proto file")
	out := flag.String("out", "", "the directory of the generated file")
	flag.Parse()
	if err := run(context.Background(), *source, *out); err != nil {
		fmt.Fprintln(os.Stderr, "proto:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, source, out string) error {
	files, err := Generate(ctx, source)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Generate returns the Go files of one .proto file, by base name.
func Generate(ctx context.Context, source string) (map[string]string, error) {
	request, err := compile(ctx, source)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", source, err)
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, fmt.Errorf("generate %s: %w", source, err)
	}
	for _, f := range plugin.Files {
		if f.Generate {
			internal_gengo.GenerateFile(plugin, f)
		}
	}
	response := plugin.Response()
	if response.Error != nil {
		return nil, fmt.Errorf("generate %s: %s", source, response.GetError())
	}
	files := make(map[string]string, len(response.File))
	for _, f := range response.File {
		files[filepath.Base(f.GetName())] = f.GetContent()
	}
	return files, nil
}

func compile(ctx context.Context, source string) (*pluginpb.CodeGeneratorRequest, error) {
	dir, name := filepath.Split(source)
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{ImportPaths: []string{filepath.Clean(dir)}},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, name)
	if err != nil {
		return nil, err
	}
	return &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		Parameter:      proto.String("paths=source_relative"),
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protoutil.ProtoFromFileDescriptor(compiled[0])},
	}, nil
}
