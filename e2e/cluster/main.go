// Command cluster is a real Kubernetes on one machine, in one program.
//
// By the name it is called by (argv[0]) or by its first argument it is a
// Kubernetes component, etcd, CoreDNS, kubectl or helm; by any other name it
// is the command that starts, stops and inspects the cluster made of them.
package main

import (
	"os"
	"path/filepath"

	"longshore.dev/cluster/internal/command"
	"longshore.dev/cluster/internal/component"
)

func main() {
	if run, ok := component.Lookup(filepath.Base(os.Args[0])); ok {
		run()
		return
	}
	if len(os.Args) > 1 {
		if run, ok := component.Lookup(os.Args[1]); ok {
			os.Args = os.Args[1:]
			run()
			return
		}
	}
	os.Exit(command.Main(os.Args[1:]))
}
