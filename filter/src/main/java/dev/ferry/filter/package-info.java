/**
 * Layers that stand between a disk's front and its image. {@link dev.ferry.filter.Stats} counts, {@link
 * dev.ferry.filter.Gate} keeps changes in order and lets the stack be changed while it is in use, {@link
 * dev.ferry.filter.Aligner} takes any offset above devices that want whole blocks, {@link dev.ferry.filter.Fault} and
 * {@link dev.ferry.filter.Delay} play the bad disk, {@link dev.ferry.filter.Slice} is a part of one, {@link
 * dev.ferry.filter.RateLimit} lets only so much pass. The mirror has a package of its own, and so have the tracking of what is changed, and layers.
 */
@NullMarked
package dev.ferry.filter;

import org.jspecify.annotations.NullMarked;
