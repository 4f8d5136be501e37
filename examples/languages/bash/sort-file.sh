#!/bin/bash
# Writes a file of readings, sorts it by station and value, and sums up each station.
set -euo pipefail

cat > readings.txt <<'END'
north 17
south 23
north 4
east 9
south 11
east 30
north 8
END

sort -k1,1 -k2,2n readings.txt > sorted.txt

declare -A sum count
while read -r station value; do
  sum[$station]=$((${sum[$station]:-0} + value))
  count[$station]=$((${count[$station]:-0} + 1))
done < sorted.txt

for station in $(cut -d' ' -f1 sorted.txt | uniq); do
  highest=$(grep "^$station " sorted.txt | tail -n 1 | cut -d' ' -f2)
  printf '%-6s %d readings, sum %3d, highest %2d\n' \
    "$station" "${count[$station]}" "${sum[$station]}" "$highest"
done
echo "$(wc -l < sorted.txt) lines sorted"
