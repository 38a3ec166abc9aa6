#!/bin/busybox sh
# First program of a guest that boots from its disk, in the initramfs that its boot loader has read from there: finds the root on the
# second partition, and hands over to the init that it holds (root.sh).

busybox=/bin/busybox
$busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/null >/dev/ttyS0 2>&1

for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko || echo "guest: FAILED insmod $module"
done
until [ -b /dev/vda2 ]; do usleep 50000; done
mkdir -p /root
mount -t ext4 -o errors=continue /dev/vda2 /root || echo "guest: FAILED mounting the root"
umount /proc /sys
exec switch_root /root /sbin/init
