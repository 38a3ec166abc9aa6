/**
 * The mirror: one disk on two sides, while a copier brings the second into step with the first.
 *
 * <p>{@link dev.ferry.filter.mirror.Mirror} is the device that guests' requests pass through; its rules are those of
 * section 3 of the design, and each is named where it is kept. What it does with its target apart from the guest's
 * changes is in {@code TargetFront}. A {@code Change} is one write, zero or discard in flight, or the part of one that
 * lies in regions of one state. {@code TargetSide} holds what is in flight on the target, so that the mirror can let go
 * of it at any instant: whoever waits is answered, and what the target still does with the request harms nobody.
 *
 * <p>{@code Trail} is what lets a target follow in its own time, in the order that {@code TrailOrder} keeps and with the
 * bytes in a {@code TrailRing}. {@link dev.ferry.filter.mirror.TrackedMirror} leaves the target behind until a copier has
 * come by again. {@link dev.ferry.filter.mirror.RegionHold} is how a copier or a verifier gets a region to
 * itself, and {@code RegionMap} says which regions are copied, at one bit each. {@link dev.ferry.filter.mirror.StepMap} is
 * the part of that which outlives the daemon, and {@link dev.ferry.filter.mirror.StepStore} is where it is kept.
 */
@NullMarked
package dev.ferry.filter.mirror;

import org.jspecify.annotations.NullMarked;
