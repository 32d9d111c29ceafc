#!/bin/sh
# The whole example: register the model, run it over all digits with two workers, ask what came out.
set -e
cd "$(dirname "$0")"
MILLRACE_DATA=${MILLRACE_DATA:-$(cd ../.. && pwd)/.millrace}
export MILLRACE_DATA

npx tsx register.ts
npx millrace run mnist.yaml
npx tsx show.ts

cat <<TEXT

Next:
  npm run demo                                      runs it again: a second trial under the same version
  npx millrace trial outputs 1                      lists the predictions that trial 1 has committed
  npx millrace server                               serves what was recorded, to any gRPC client
  examples/mnist/worker.ts                          is the program; README.md explains it
TEXT
