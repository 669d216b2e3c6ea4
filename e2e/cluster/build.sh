#!/bin/sh
# Builds the cluster program: build.sh OUT. The first build takes minutes, all
# of Kubernetes is compiled; a later one takes as long as linking.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$here"

# Kubernetes and client-go ask this package for their version, and refuse to
# start or to speak with each other without one.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
rest=${version#v}
major=${rest%%.*}
rest=${rest#*.}
minor=${rest%%.*}
of=k8s.io/component-base/version
CGO_ENABLED=0 exec go build -buildvcs=false -o "$out" -ldflags "-s -w \
	-X $of.gitVersion=$version -X $of.gitMajor=$major -X $of.gitMinor=$minor -X $of.gitTreeState=clean \
	-X k8s.io/client-go/pkg/version.gitVersion=$version -X k8s.io/client-go/pkg/version.gitMajor=$major -X k8s.io/client-go/pkg/version.gitMinor=$minor" .
