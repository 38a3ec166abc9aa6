/**
 * Format VHD (Virtual Hard Disk image format, version 1.0): fixed and dynamic disks, to be read. {@link
 * dev.ferry.image.vhd.VhdImage} opens one.
 */
@NullMarked
package dev.ferry.image.vhd;

import org.jspecify.annotations.NullMarked;
