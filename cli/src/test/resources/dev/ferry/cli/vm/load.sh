# Sourced by the guests that work on a disk: two loads side by side, and the proof of them. Wants /run and /proc mounted, busybox's
# programs on the path, the output on the console (ttyS0), and $disk: a folder of the file system to work on.
#
# Console: lines "guest: ...", of which the host waits for "ready" and "result".
# Second serial port (ttyS1): one line "t N" for each checked O_DIRECT write, so that the host sees a stall on its own clock (the guest's
# clock stops with the guest); and, towards the guest, the line "stop".
#
# The file loop writes, syncs, deletes, trims and re-reads whole files against checksums that are kept in memory; the hot loop writes 32
# blocks again and again with O_DIRECT and reads another one back each time: that finds lost writes which files miss.

say() { echo "guest: $*"; }
fail() { say "FAILED $*"; touch /run/failed; }

# random LIMIT: sets r; each loop has its own state, so that one seed gives one sequence.
random() {
    state=$(((state * 1103515245 + 12345) & 0x7fffffff))
    r=$(((state >> 8) % $1))
}

verify() { # NAME: the file on the disk, read from the disk, is what was written
    echo 3 >/proc/sys/vm/drop_caches
    sum=$(md5sum <"$disk/$1") || fail "reading $1"
    [ "$sum" = "$(cat "/run/sums/$1")" ] || fail "$1 differs"
    verified=$((verified + 1))
}

work() {
    state=$1
    written=0
    verified=0
    removed=0
    until [ -e /run/stop ]; do
        random 48; name=file$r
        random 448; skip=$r
        random 64
        {
            echo "$name, writing $written"
            dd if=/run/pool bs=4k skip=$skip count=$((r + 1)) status=none
        } >/run/now
        cp /run/now "$disk/$name" || fail "writing $name"
        md5sum </run/now >"/run/sums/$name"
        written=$((written + 1))
        case $((written % 8)) in
        2) sync -d "$disk/$name" || fail "sync of $name" ;;
        5) set -- /run/sums/*; random $#; shift $r; verify "${1##*/}" ;;
        7)
            set -- /run/sums/*; random $#; shift $r; name=${1##*/}
            rm "$disk/$name" "/run/sums/$name" || fail "removing $name"
            removed=$((removed + 1))
            ;;
        esac
        [ $((written % 64)) -ne 0 ] || fstrim "$disk" || fail fstrim
    done
    echo "written=$written verified=$verified removed=$removed" >/run/files
}

hot() {
    state=$1
    count=0
    dd if=/dev/zero of="$disk/hot" bs=4k count=32 oflag=direct status=none || fail "making hot"
    until [ -e /run/stop ]; do
        count=$((count + 1))
        random 32
        printf '%-4095s\n' "block $r writing $count" |
            dd of="$disk/hot" bs=4k seek=$r conv=notrunc oflag=direct iflag=fullblock status=none || fail "hot write $count"
        eval "want_$r=\$count"
        random 32
        eval "want=\$want_$r"
        if [ -n "$want" ]; then
            dd if="$disk/hot" bs=4k skip=$r count=1 iflag=direct status=none >/run/block || fail "hot read of $r"
            read -r line </run/block
            [ "$line" = "block $r writing $want" ] || fail "hot block $r is '$line', not of writing $want"
        fi
        echo "t $count" >/dev/ttyS1
    done
    echo "hot=$count" >/run/hot
}

# load SEED: both, from "ready" until the host says stop.
load() {
    stty -F /dev/ttyS1 raw -echo
    dd if=/dev/urandom of=/run/pool bs=64k count=32 status=none
    say "ready seed=$1"
    work "$1" &
    hot $(($1 + 1)) &
    until read -r command && [ "$command" = stop ]; do :; done </dev/ttyS1
    touch /run/stop
    wait
}

# prove: every file is what was written, no other is there; says their checksums.
prove() {
    sync
    for path in /run/sums/*; do verify "${path##*/}"; done
    find "$disk" -type f -name 'file*' | while read -r path; do
        [ -e "/run/sums/${path##*/}" ] || fail "$path should not be there"
    done
    for path in /run/sums/*; do say "sum ${path##*/} $(cut -c1-32 <"$path")"; done
}

# end: what the kernel saw, and the verdict; the machine is off after that.
end() {
    dmesg | grep -E 'I/O error|EXT4-fs (error|warning)|blk_update|Remounting|critical|hung_task|blocked for more' >/run/errors
    while read -r line; do fail "kernel: $line"; done </run/errors
    verdict=clean
    [ ! -e /run/failed ] || verdict=failed
    say "result $verdict $(cat /run/files) $(cat /run/hot)"
    sync
    poweroff -f
}
