#!/bin/sh
# Runs as root inside the agent image's root file system, after its packages; by the Dockerfile and by the local build.
set -eu
groupadd --gid 1000 agent
useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash agent
# The topic's volume is mounted here. Owned by the agent, so that `docker run` without a volume works as well.
install -d -m 0755 -o agent -g agent /topic
# Workspaces are volumes whose root belongs to another user (fsGroup); git would refuse to work in them.
git config --system --add safe.directory '*'
