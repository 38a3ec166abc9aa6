/**
 * Moving disks that are in use from one datastore to another.
 *
 * <p>{@link dev.ferry.migration.MigrationEngine} is the way in: it checks a {@link
 * dev.ferry.migration.MigrationRequest} ({@code Planner}), and gives each migration a thread, {@code Move}, with a mailbox
 * for commands and for what happens, whose work, phase after phase, is {@code MoveWork}. How the bytes of a disk get to the
 * target, and the guest after them, is a {@code Carrier}; {@code MirrorCarrier} does it with a mirror in the live stack, a
 * copier and a verifier from {@link dev.ferry.migration.copy}; {@code TrackingCarrier} with a mirror that leaves the target
 * behind, and a copier that comes by again; {@code SnapshotCarrier} does the latter over overlays, which {@code Merging} brings
 * back into the disk's own file. The files that disks lie over, where they are taken along, are brought by {@code MovingBases}
 * before the targets of the disks are made over them; {@code BaseFiles} knows who else has a use for one. What is measured meanwhile is in {@code Gauges}, {@code ConvergenceJudge} and
 * {@code EtaEstimator}.
 *
 * <p>Which side is the disk, at any instant, is said by the journal ({@link dev.ferry.migration.journal}), which the
 * {@code Ledger} of a move writes before anything is acted on; the inventory ({@link dev.ferry.migration.Catalog}) follows
 * it. A move that was interrupted goes on: {@code Revival} puts what records the guest's writes back in place before the
 * first of them. {@code Keeping} holds the way back open after a switch, by a mirror that runs the other way. {@code
 * Recovery} brings to an end what had been decided. The README of this module says what survives
 * which crash, and why.
 */
@NullMarked
package dev.ferry.migration;

import org.jspecify.annotations.NullMarked;
