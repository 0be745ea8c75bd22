# Servers, and clients that are set against them. To be sourced in interop/ by a script that has sourced ../.ci/steps.sh.

logs=$(mktemp -d -p "$STEPS_DIR")
python=python/.venv/bin/python

# What sofa-rpc-node cannot express or answers in its own way when it is the server; see README.md.
node_server_lacks=big-integer,local-date,local-time,local-date-time,instant,duration,times,enum-map,linked-list,everything
node_server_lacks+=,everything-null,object,baggage,generic-list,protobuf,protobuf-error,unknown-signature
node_server_lacks+=,exception,exception-cause,exception-undeclared,unknown-service,unknown-method,callback,generic-exception,echo-service
# And where the Java client puts such values into.
node_server_lacks_java=$node_server_lacks,rotation

# free_ports COUNT: the first of so many ports in a row that nobody listens on; DIWAN_PORTS is where to look first.
free_ports() {
    local first=${DIWAN_PORTS:-23900} port
    for _ in $(seq 20); do
        for port in $(seq "$first" $((first + $1 - 1))); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
                first=$((port + 1))
                continue 2
            fi
        done
        echo "$first"
        return
    done
    echo "no $1 free ports in a row from ${DIWAN_PORTS:-23900} on" >&2
    return 1
}

# serve NAME COMMAND...: starts a server and waits for its "listening". Its process id is then in $!.
serve() {
    local log="$logs/$1.log"
    shift
    background "$@" >"$log" 2>&1
    for _ in $(seq 150); do
        grep -q listening "$log" && return
        sleep 0.2
    done
    echo "no server: $*" >&2
    cat "$log" >&2
    exit 1
}

# client COMMAND...: runs a client; its wrong cases and their number are the output.
client() {
    local out="$logs/client.out" status=0
    timeout 180 "$@" >"$out" 2>"$logs/client.err" || status=$?
    [ "$status" = 0 ] || { grep -a '^WRONG' "$out" || tail -n 5 "$out" "$logs/client.err"; }
    echo "$(grep -ac '^ok [^ ]' "$out") ok, $(grep -ac '^WRONG' "$out") wrong"
    return "$status"
}

# said NAME TEXT: waits until it is in the output of a peer.
said() {
    for _ in $(seq 300); do
        grep -q "$2" "$logs/$1" && return
        sleep 0.1
    done
    echo "not $2 within 30 s" >>"$logs/$1"
    return 1
}

# peers CONSUMER PROVIDER-PROCESS CONSUMER-PROCESS: stops the provider once the consumer is ready; the consumer's end is the outcome.
peers() {
    local status=0
    said "$1" ready && kill "$2" || status=1
    wait "$3" || status=1
    cat "$logs/$1" "$logs/$1.err" | tail -n 20
    grep -a '^ok' "$logs/$1" || status=1
    return $status
}
