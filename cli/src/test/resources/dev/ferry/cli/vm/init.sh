#!/bin/busybox sh
# Init of the test guest: makes a file system on /dev/vda and works on it without pause until the host says stop.
#
# Console (ttyS0): lines "guest: ...", of which the host waits for "ready" and "result".
# Second serial port (ttyS1): one line "t N" for each checked O_DIRECT write, so that the host sees a stall on its own clock (the guest's
# clock stops with the guest); and, towards the guest, the line "stop".
#
# Two loads run side by side. The file loop writes, syncs, deletes, trims and re-reads whole files against checksums that are kept in memory;
# the hot loop writes 32 blocks again and again with O_DIRECT and reads another one back each time: that finds lost writes which files miss.

busybox=/bin/busybox
$busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec </dev/null >/dev/ttyS0 2>&1

say() { echo "guest: $*"; }
fail() { say "FAILED $*"; touch /run/failed; }

for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko || fail "insmod $module"
done
until [ -b /dev/vda ]; do usleep 50000; done

seed=$(sed -n 's/.*ferry.seed=\([0-9]*\).*/\1/p' /proc/cmdline)
dd if=/dev/urandom of=/run/pool bs=64k count=32 status=none
/sbin/mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/vda || fail mke2fs
mkdir /disk /run/sums
mount -t ext4 -o errors=continue /dev/vda /disk || fail mount
stty -F /dev/ttyS1 raw -echo

# random LIMIT: sets r; each loop has its own state, so that one seed gives one sequence.
random() {
    state=$(((state * 1103515245 + 12345) & 0x7fffffff))
    r=$(((state >> 8) % $1))
}

verify() { # NAME: the file on the disk, read from the disk, is what was written
    echo 3 >/proc/sys/vm/drop_caches
    sum=$(md5sum <"/disk/$1") || fail "reading $1"
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
        cp /run/now "/disk/$name" || fail "writing $name"
        md5sum </run/now >"/run/sums/$name"
        written=$((written + 1))
        case $((written % 8)) in
        2) sync -d "/disk/$name" || fail "sync of $name" ;;
        5) set -- /run/sums/*; random $#; shift $r; verify "${1##*/}" ;;
        7)
            set -- /run/sums/*; random $#; shift $r; name=${1##*/}
            rm "/disk/$name" "/run/sums/$name" || fail "removing $name"
            removed=$((removed + 1))
            ;;
        esac
        [ $((written % 64)) -ne 0 ] || fstrim /disk || fail fstrim
    done
    echo "written=$written verified=$verified removed=$removed" >/run/files
}

hot() {
    state=$1
    count=0
    dd if=/dev/zero of=/disk/hot bs=4k count=32 oflag=direct status=none || fail "making hot"
    until [ -e /run/stop ]; do
        count=$((count + 1))
        random 32
        printf '%-4095s\n' "block $r writing $count" |
            dd of=/disk/hot bs=4k seek=$r conv=notrunc oflag=direct iflag=fullblock status=none || fail "hot write $count"
        eval "want_$r=\$count"
        random 32
        eval "want=\$want_$r"
        if [ -n "$want" ]; then
            dd if=/disk/hot bs=4k skip=$r count=1 iflag=direct status=none >/run/block || fail "hot read of $r"
            read -r line </run/block
            [ "$line" = "block $r writing $want" ] || fail "hot block $r is '$line', not of writing $want"
        fi
        echo "t $count" >/dev/ttyS1
    done
    echo "hot=$count" >/run/hot
}

say "ready seed=$seed"
work "$seed" &
hot $((seed + 1)) &
until read -r command && [ "$command" = stop ]; do :; done </dev/ttyS1
touch /run/stop
wait

sync
for path in /run/sums/*; do verify "${path##*/}"; done
find /disk -type f -name 'file*' | while read -r path; do
    [ -e "/run/sums/${path##*/}" ] || fail "$path should not be there"
done
for path in /run/sums/*; do say "sum ${path##*/} $(cut -c1-32 <"$path")"; done
umount /disk || fail umount
dmesg | grep -E 'I/O error|EXT4-fs (error|warning)|blk_update|Remounting|critical|hung_task|blocked for more' >/run/errors
while read -r line; do fail "kernel: $line"; done </run/errors
verdict=clean
[ ! -e /run/failed ] || verdict=failed
say "result $verdict $(cat /run/files) $(cat /run/hot)"
sync
poweroff -f
