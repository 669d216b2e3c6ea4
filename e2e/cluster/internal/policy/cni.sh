#!/bin/sh
# CNI plugin: passes the call on to the policy engine, which answers "ok" or
# "error" on the first line and what is to be printed after it. Without an
# engine it fails, and the pod does not start.
# Where no engine has run since the cluster came up, no pod is attached, and
# what an earlier life left behind can be cleared away.
[ "$CNI_COMMAND" = DEL ] && [ ! -S SOCKET ] && exit 0
answer=$({ printf '%s\n%s\n%s\n' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_ARGS"; cat; } |
	socat -t 20 - UNIX-CONNECT:SOCKET) || answer=
case $answer in
ok*)
	printf '%s' "${answer#ok}"
	exit 0
	;;
error*)
	printf '%s' "${answer#error}"
	exit 1
	;;
esac
printf '{"cniVersion":"0.4.0","code":11,"msg":"the network policy engine does not answer"}'
exit 1
