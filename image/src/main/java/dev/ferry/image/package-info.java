/**
 * Disk formats: how the bytes of a disk lie in a file.
 *
 * <p>{@link dev.ferry.image.RawImage}: as they are. {@link dev.ferry.image.qcow2}: QEMU's own format. {@link
 * dev.ferry.image.vmdk}, {@link dev.ferry.image.vhd} and {@link dev.ferry.image.vhdx}: VMware's and Microsoft's. {@link dev.ferry.image.ovf}: the appliances that
 * disks come in. An {@link
 * dev.ferry.image.ImageWriter} writes an image in one pass, of those that are not written in place. {@link
 * dev.ferry.image.Provisioning} says how a disk takes up room, which a format upholds for as long as the disk is open;
 * {@link dev.ferry.image.Provisioner} brings a new raw disk's file into that state. Opening, making and checking images is
 * blocking code on {@link dev.ferry.image.FileBytes}; what guests' requests go through is a {@link
 * dev.ferry.block.BlockDevice} on another.
 */
@NullMarked
package dev.ferry.image;

import org.jspecify.annotations.NullMarked;
