/**
 * Format VMDK (VMware Virtual Disks, version 5.0 of the technical note), one file or several, flat, sparse or
 * stream-optimized, which are read and not written, and deltas over parents. {@link dev.ferry.image.vmdk.VmdkDescriptor} is the text that says what a disk is
 * made of; a file of grains is a {@link dev.ferry.image.vmdk.VmdkSparse}, or one of those in which ESX keeps what was written
 * since a snapshot: {@code VmfsSparse}, {@code SeSparse}. {@link dev.ferry.image.vmdk.VmdkImage} puts the parts and the
 * parents together; whoever opens the files for it decides which may be. {@link dev.ferry.image.vmdk.WritableVmdk} does so for those that take
 * changes: {@code GrainTables} gives their grains a place. {@link dev.ferry.image.vmdk.VmdkWriter} writes a
 * disk in one pass, {@link dev.ferry.image.vmdk.VmdkText} is its descriptor. {@link
 * dev.ferry.image.vmdk.VmdkResizer} changes the size of one.
 */
@NullMarked
package dev.ferry.image.vmdk;

import org.jspecify.annotations.NullMarked;
