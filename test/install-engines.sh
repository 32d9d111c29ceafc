#!/usr/bin/env bash
# Installs, from Debian's packages, the programs that some tests start workers with: torchrun, mpirun, Slurm, and
# ip for hosts made of network namespaces; the languages of examples/clients; openssl for a page of docs/; and, from
# PyPI, what checks Kubernetes manifests. What cannot be installed is named, and its tests are skipped; this script never fails.
set -uo pipefail
cd "$(dirname "$0")/.."

missing() {
	/usr/bin/python3 -c "import torch.distributed.run" 2>/dev/null || echo python3-torch
	command -v mpirun >/dev/null || echo openmpi-bin
	command -v srun >/dev/null && command -v slurmctld >/dev/null && command -v slurmd >/dev/null || echo slurm-wlm
	command -v munged >/dev/null || echo munge
	command -v ip >/dev/null || echo iproute2
	/usr/bin/python3 -c "import ensurepip, venv" 2>/dev/null || echo python3-venv
	command -v go >/dev/null || echo golang-go
	command -v javac >/dev/null || echo default-jdk-headless
	command -v mvn >/dev/null || echo maven
	command -v openssl >/dev/null || echo openssl
}

# Daemons are in /usr/sbin, which not every user's PATH has.
PATH=$PATH:/usr/sbin:/sbin
wanted=$(missing)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "Installing for the tests: $(echo $wanted)"
	export DEBIAN_FRONTEND=noninteractive
	# One package that is not to be had must not keep the others away.
	timeout 120 apt-get update -qq >/dev/null 2>&1
	for package in $wanted; do
		timeout 600 apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1
	done
	wanted=$(missing)
fi
if [ -n "$wanted" ]; then
	echo "Not installed, so that some tests are skipped: $(echo $wanted)"
fi

# In an environment of its own, with the schemas of one version of Kubernetes.
validator=node_modules/.cache/kubernetes-validate
if ! [ -x $validator/bin/kubernetes-validate ]; then
	rm -rf $validator
	if ! { timeout 60 python3 -m venv $validator && timeout 180 $validator/bin/pip install -q kubernetes-validate==1.37.0; } >/dev/null 2>&1; then
		rm -rf $validator
		echo "Not installed, so that a test is skipped: kubernetes-validate, from PyPI"
	fi
fi
exit 0
