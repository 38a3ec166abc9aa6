/**
 * The journal of a migration: what it has decided, on disk before it is acted on.
 *
 * <p>{@link dev.ferry.migration.journal.MoveRecord} is the whole state of a migration at one step, so the last record of
 * a journal says all there is to know. {@link dev.ferry.migration.journal.FileJournals} keeps one file for each
 * migration; {@link dev.ferry.migration.journal.JournalFile} describes its bytes. {@link
 * dev.ferry.migration.journal.Journals} is the seam at which a test cuts the power.
 *
 * <p>Beside the journal lies what is too much for it: {@link dev.ferry.migration.journal.StepFiles} keep, for each disk,
 * which regions are in step, in the two files that {@code StepLayout} draws.
 */
@NullMarked
package dev.ferry.migration.journal;

import org.jspecify.annotations.NullMarked;
