# For scripts that run a program as a person would: read it with `.`, use `expect` and `check`, end with `finish NAME`.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

passed=0
failed=0
# expect STATUS NAME COMMAND...: runs a command, with its output in $folder/out and $folder/err.
expect() {
    local status=$1 name=$2 actual=0
    shift 2
    timeout 300 "$@" >"$folder/out" 2>"$folder/err" </dev/null || actual=$?
    if [ "$actual" -eq "$status" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$name: exit status $actual, expected $status" >&2
        tail -n 5 "$folder/out" "$folder/err" >&2
    fi
}
# check NAME PYTHON-EXPRESSION: over `out`, `err` (texts) and `result` (the JSON object, if there is one).
check() {
    if python3 - "$folder" "$2" <<'PYTHON'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
out, err = (folder / "out").read_text(), (folder / "err").read_text()
result = json.loads(out) if out.startswith("{") else None
before = json.loads((folder / "before").read_text()) if (folder / "before").exists() else None
sys.exit(0 if eval("(" + sys.argv[2] + ")") else 1)
PYTHON
    then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$1: not so: $2" >&2
        head -c 2000 "$folder/out" >&2
        head -c 500 "$folder/err" >&2
    fi
}

# finish NAME: prints the counts, and fails if one thing was not as expected.
finish() {
    echo "$1: $passed as expected, $failed not"
    [ "$failed" -eq 0 ]
}
