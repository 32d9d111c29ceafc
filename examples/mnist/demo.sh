#!/bin/sh
# The whole example: register the model, run it over all digits with two workers, ask what came out.
set -e
here=$(cd "$(dirname "$0")" && pwd)
case ${MILLRACE_DATA:=$here/../../.millrace} in
/*) ;;
*) MILLRACE_DATA=$PWD/$MILLRACE_DATA ;;
esac
export MILLRACE_DATA
cd "$here"

npx tsx register.ts
npx millrace run mnist.yaml
npx tsx show.ts

cat <<TEXT

Next:
  npm run demo                                      runs it again: a second trial under the same version
  npx millrace trial outputs 1                      lists the predictions that trial 1 has committed
  npx millrace server                               serves what was recorded, to any gRPC client
  examples/mnist/README.md                          explains the program, examples/mnist/worker.ts
TEXT
