package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.migration.Carrier.Verdict;
import java.util.function.Consumer;

/** What a carrier tells of its disk on the way to the target, put in the mailbox of the move. Thread: any. */
final class MailedEvents implements Carrier.Events {
    private final MovingDisk disk;
    private final MoveWork work;
    private final Consumer<Runnable> mailbox;

    /** @param mailbox takes what is to be run by the thread of the move */
    MailedEvents(MovingDisk disk, MoveWork work, Consumer<Runnable> mailbox) {
        this.disk = disk;
        this.work = work;
        this.mailbox = mailbox;
    }

    @Override
    public void copied() {
        mailbox.accept(() -> work.copied(disk));
    }

    @Override
    public void behind() {
        mailbox.accept(() -> work.behind(disk));
    }

    @Override
    public void targetLost(BlockError why) {
        mailbox.accept(() -> work.targetLost(disk, why));
    }

    @Override
    public void sourceFailed(BlockError why) {
        mailbox.accept(() -> work.sourceFailed(why));
    }

    @Override
    public void verified(Verdict verdict) {
        mailbox.accept(() -> work.verified(disk, verdict));
    }

    @Override
    public void proved(Verdict verdict, long comparedBytes) {
        mailbox.accept(() -> work.proving().proved(disk, verdict, comparedBytes));
    }

    @Override
    public void notProved(BlockError why) {
        mailbox.accept(() -> work.proving().failed(disk, why));
    }

    @Override
    public void recordLost(BlockError why) {
        mailbox.accept(() -> work.recordLost(why));
    }
}
