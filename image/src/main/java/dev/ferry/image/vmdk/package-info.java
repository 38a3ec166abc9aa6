/**
 * Format VMDK (VMware Virtual Disks, version 5.0 of the technical note), to be read: one file or several, flat, sparse or
 * stream-optimized. {@link dev.ferry.image.vmdk.VmdkDescriptor} is the text that says what a disk is made of, {@link
 * dev.ferry.image.vmdk.VmdkSparse} a sparse file; whoever opens the files puts the parts together by {@link
 * dev.ferry.image.vmdk.VmdkImage}.
 */
@NullMarked
package dev.ferry.image.vmdk;

import org.jspecify.annotations.NullMarked;
