# Holds one server for a test process. Orders come in on stdin, one word per line; each is answered
# with "done". When stdin ends, the test process is gone, however it went: the server goes too.
#
# usage: sh watchdog.sh <home folder, removed at the end> <last signal> <command> [arguments…]
home=$1 last_signal=$2
shift 2
server=
while read -r order; do
    case $order in
        start) "$@" </dev/null >>"$home/log" 2>&1 & server=$! ;;
        kill) kill -"$last_signal" "$server"; wait "$server" ;;
        pause) kill -STOP "$server" ;;
        resume) kill -CONT "$server" ;;
    esac
    echo done
done
kill -"$last_signal" "$server"
kill -CONT "$server"
wait "$server"
rm -rf "$home"
