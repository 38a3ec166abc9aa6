/**
 * Appliances, as virtual machines are handed around (OVF, DSP0243): a descriptor in XML beside its disks, or all in one archive.
 * {@link dev.ferry.image.ovf.TarIndex} says where the files of an archive lie, so that disks are read where they are; {@link
 * dev.ferry.image.ovf.OvfDescriptor} says which disks there are; {@link dev.ferry.image.ovf.Manifest} has the digests of all files.
 * The archive is untrusted: every length has a bound before anything is allocated, no name leads out of it, and the XML reaches
 * nothing outside itself. That is why the archive is not left to a library, which keeps names and headers of any length.
 */
@NullMarked
package dev.ferry.image.ovf;

import org.jspecify.annotations.NullMarked;
