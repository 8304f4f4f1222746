#!/usr/bin/env bash
# Runs every target, or those that are named, two at a time: `fuzz/run.sh SECONDS [TARGET...]`. Inputs that were found stay in
# `fuzz/corpus/`, what broke a property in `fuzz/artifacts/`; neither is committed.
set -euo pipefail
cd "$(dirname "$0")"
# SQLite, which comes with the gateway, has a name twice in its one file
export ASAN_OPTIONS=detect_odr_violation=0
seconds=${1:?say how many seconds each target runs}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir .)
fi
cargo +nightly fuzz build --fuzz-dir .

run() {
  mkdir -p "corpus/$2"
  local status=0
  nice -n 19 cargo +nightly fuzz run --fuzz-dir . "$2" "corpus/$2" "seeds/$2" -- \
    -max_total_time="$1" -rss_limit_mb=2048 -timeout=10 -max_len=8192 -print_final_stats=1 >"corpus/$2.log" 2>&1 || status=$?
  echo "$2: $(grep -a 'cov:' "corpus/$2.log" | tail -1)"
  [ "$status" -eq 0 ] || echo "$2: BROKE, see fuzz/corpus/$2.log"
  return "$status"
}
export -f run
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'run "$1" "$2"' run "$seconds" {}
