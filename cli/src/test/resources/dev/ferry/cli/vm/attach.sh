#!/bin/busybox sh
# Init of a test guest that attaches a disk by the kernel's own NBD client, over four TCP connections to the host (10.0.2.2), and uses it:
# a file system, files with checksums, discards; a check of the file system; and all of it once more after it has been attached again.
#
# Console (ttyS0): lines "guest: ...", of which the host waits for "result". ferry.port=N on the kernel's command line: the server's port.

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

for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net nbd; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko || fail "insmod $module"
done
port=$(sed -n 's/.*ferry.port=\([0-9]*\).*/\1/p' /proc/cmdline)
ip link set lo up
until [ -e /sys/class/net/eth0 ]; do usleep 50000; done
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
mkdir /disk

attach() {
    /sbin/nbd-client 10.0.2.2 "$port" -N disk -connections 4 -persist /dev/nbd0 || fail "attaching"
    until [ "$(cat /sys/block/nbd0/size)" -gt 0 ]; do usleep 50000; done
}
detach() {
    /sbin/nbd-client -d /dev/nbd0 || fail "detaching"
}

attach
say "disk $(cat /sys/block/nbd0/size) sectors, discard $(cat /sys/block/nbd0/queue/discard_max_bytes), fua $(cat /sys/block/nbd0/queue/fua)"
/sbin/mke2fs -q -t ext4 /dev/nbd0 || fail mke2fs
mount -t ext4 -o errors=continue /dev/nbd0 /disk || fail mount
dd if=/dev/urandom of=/run/pool bs=64k count=64 status=none
for i in 1 2 3 4; do
    (for j in 1 2 3 4 5; do
        dd if=/run/pool of=/disk/file$i.$j bs=4k skip=$((i * j)) count=$((i * 97)) status=none || fail "writing file$i.$j"
    done; sync) &
done
wait
rm /disk/file*.3
fstrim /disk || fail fstrim
(cd /disk && md5sum file*) >/run/sums
umount /disk || fail umount
/sbin/e2fsck -fn /dev/nbd0 || fail "the file system is damaged"
detach
attach
/sbin/e2fsck -fn /dev/nbd0 || fail "the file system is damaged after it was attached again"
mount -t ext4 -o ro /dev/nbd0 /disk || fail "mounting again"
(cd /disk && md5sum -c -s /run/sums) || fail "files differ"
while read -r sum name; do say "sum $name $sum"; done </run/sums
umount /disk || fail "unmounting again"
detach
dmesg | grep -E 'I/O error|EXT4-fs (error|warning)|block nbd0: (Receive|Other side|Connection)|hung_task' | grep -v 'shutting down' >/run/errors
while read -r line; do fail "kernel: $line"; done </run/errors
verdict=clean
[ ! -e /run/failed ] || verdict=failed
say "result $verdict"
poweroff -f
