#!/bin/bash
# go.sh NAME [-D...]: builds and searches; says errors, states, depth, time
name=$1; shift
here=$(cd "$(dirname "$0")" && pwd); d=${TMPDIR:-/tmp}/mmsb-model/$name; mkdir -p "$d"; cd "$d"
spin -a "$@" "$here/${PML:-commit.pml}" >spin.log 2>&1 || { echo "$name: spin failed"; cat spin.log; exit 2; }
gcc -O2 -DCOLLAPSE -DNOFAIR ${SAFE--DSAFETY} -DVECTORSZ=2048 -DMEMLIM=${MEM:-6000} -o pan pan.c 2>gcc.log || { cat gcc.log|head; exit 2; }
s=$(date +%s%1N)
timeout ${T:-600} ./pan -E -m${DEPTH:-200000} ${PANARGS} >pan.log 2>&1
rc=$?
e=$(date +%s%1N)
printf '%-28s %-60s errors: %s states: %s depth: %s mem: %s time: %d.%d rc=%d %s\n' "$name" "$*" "$(grep -o 'errors: [0-9]*' pan.log|tail -1|cut -d' ' -f2)" "$(grep 'states, stored' pan.log|awk '{print $1}')" "$(grep -o 'depth reached [0-9]*' pan.log|cut -d' ' -f3)" "$(grep 'total actual memory' pan.log|awk '{print $1}')" $(((e - s) / 10)) $(((e - s) % 10)) $rc "$(grep -E '^pan:1:|resource|out of memory|max search depth' pan.log|head -2|tr '\n' ' ')"
