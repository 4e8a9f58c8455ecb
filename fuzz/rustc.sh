#!/bin/sh
# Calls the compiler as cargo-fuzz does without a sanitizer: what it compiles counts its branches and shows what it
# compares. cargo calls it for the crates of this workspace, and the compiler itself for all others.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
