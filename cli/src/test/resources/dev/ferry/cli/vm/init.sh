#!/bin/busybox sh
# Init of the test guest: makes a file system on /dev/vda and works on it without pause until the host says stop (load.sh).

busybox=/bin/busybox
$busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec </dev/null >/dev/ttyS0 2>&1
. /load.sh

for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko || fail "insmod $module"
done
until [ -b /dev/vda ]; do usleep 50000; done

seed=$(sed -n 's/.*ferry.seed=\([0-9]*\).*/\1/p' /proc/cmdline)
/sbin/mke2fs -q -t ext4 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 /dev/vda || fail mke2fs
disk=/disk
mkdir $disk /run/sums
mount -t ext4 -o errors=continue /dev/vda $disk || fail mount
load "$seed"
prove
umount $disk || fail umount
end
