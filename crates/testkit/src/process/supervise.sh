# Runs a command and ends it when told to, or when whoever started this is gone.
#
# Standard input is a pipe whose other end only our starter holds. A line on it names a
# signal to send. When it closes, because the starter closed it or died, by whatever
# means, the command is killed. Ends with the command's exit status.
exec 3<&0
"$@" 3<&- </dev/null &
command=$!
(
    while read -r signal <&3; do kill -s "$signal" "$command"; done
    kill -s KILL "$command"
) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$command"
status=$?
kill -s KILL "$watcher" 2>/dev/null
exit "$status"
