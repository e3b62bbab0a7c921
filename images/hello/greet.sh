#!/bin/sh
echo "$(cat /srv/greeting): this is $(hostname), built $(cat /srv/built)."
echo "I am $(id -un) (uid $(id -u)), my process ID is $$, and I was made for $WHO."
