/**
 * Finding out, before a disk moves, how that would go.
 *
 * <p>The planner's {@link dev.ferry.migration.rehearsal.Outlook} says what is known without trying. {@link
 * dev.ferry.migration.rehearsal.Rehearsal} tries: {@code TargetTrial} does to a file of its own at the target all that a move
 * does there, {@code SourceTrial} looks what the disk holds and reads samples of it, and {@code Forecast} makes of the figures
 * what the move would take and cost. All of it is bounded in bytes and in time, and rests as long as it works where a guest is
 * at work. What comes of it is a {@link dev.ferry.migration.rehearsal.RehearsalReport}.
 */
@NullMarked
package dev.ferry.migration.rehearsal;

import org.jspecify.annotations.NullMarked;
