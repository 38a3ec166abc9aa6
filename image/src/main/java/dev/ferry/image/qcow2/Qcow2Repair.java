package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.List;
import java.util.Map;

/**
 * Makes refcounts what the references say. Where all blocks that are needed are there, counts change in place; else the
 * whole structure is written anew behind the end of the file, and the header is pointed at it last.
 */
final class Qcow2Repair {
    private final FileBytes file;
    private final Qcow2Header header;
    private final References references;
    private final long[] table;

    Qcow2Repair(FileBytes file, Qcow2Header header, References references, long[] table) {
        this.file = file;
        this.header = header;
        this.references = references;
        this.table = table;
    }

    /**
     * @param wrongFlags where the entries are whose flag says the contrary of what is so
     * @param wrongBitmaps what is to be where
     * @param whole nothing is left after this that makes the image untrustworthy
     */
    void run(
            Qcow2Checker.Repair repair,
            boolean blockMissing,
            List<Long> wrongFlags,
            Map<Long, Long> wrongBitmaps,
            boolean whole)
            throws BlockException {
        boolean all = repair == Qcow2Checker.Repair.ALL;
        if (all && blockMissing) {
            rebuild();
        } else {
            inPlace(all);
        }
        file.flush();
        if (!all) {
            return;
        }
        for (long position : wrongFlags) {
            byte[] word = file.read(position, 8);
            u64(word, 0, u64(word, 0) ^ COPIED);
            file.write(position, word);
        }
        for (Map.Entry<Long, Long> bitmap : wrongBitmaps.entrySet()) {
            byte[] word = new byte[8];
            u64(word, 0, bitmap.getValue());
            file.write(bitmap.getKey(), word);
        }
        file.flush();
        if (whole && header.version() >= 3) {
            byte[] word = new byte[8];
            u64(word, 0, header.incompatible() & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT));
            file.write(INCOMPATIBLE, word);
            file.flush();
        }
    }

    private void inPlace(boolean raise) throws BlockException {
        for (int i = 0; i < table.length; i++) {
            long offset = table[i];
            if (offset <= 0 || offset >= file.lengthBytes() || (offset & (header.clusterBytes() - 1)) != 0) {
                continue;
            }
            byte[] counts = file.read(offset, (int) header.clusterBytes());
            boolean changed = false;
            for (int k = 0; k < header.countsInBlock(); k++) {
                long stored = Counts.at(counts, k, header.refcountOrder());
                int counted = references.count(i * header.countsInBlock() + k);
                if (stored > counted || (raise && stored < counted)) {
                    Counts.set(counts, k, header.refcountOrder(), checked(counted));
                    changed = true;
                }
            }
            if (changed) {
                file.write(offset, counts);
            }
        }
    }

    private int checked(int count) throws BlockException {
        if (count > Counts.most(header.refcountOrder())) {
            throw Qcow2Header.flaw(
                    file, ErrorKind.CORRUPT, "a cluster is used " + count + " times, more than its refcounts can say");
        }
        return count;
    }

    private void rebuild() throws BlockException {
        int bits = header.clusterBits();
        for (long cluster = 0; cluster < header.refcountTableClusters(); cluster++) {
            references.remove((header.refcountTableOffset() >>> bits) + cluster);
        }
        for (long offset : table) {
            if (offset > 0 && offset < file.lengthBytes()) {
                references.remove(offset >>> bits);
            }
        }
        long start = (file.lengthBytes() + header.clusterBytes() - 1) >>> bits;
        long perBlock = header.countsInBlock();
        long blocks = 0;
        long tableClusters = 0;
        while (true) {
            long end = start + blocks + tableClusters;
            long blocksNeeded = (end + perBlock - 1) / perBlock;
            long tableNeeded = (blocksNeeded * 8 + header.clusterBytes() - 1) >>> bits;
            if (blocksNeeded <= blocks && tableNeeded <= tableClusters) {
                break;
            }
            blocks = blocksNeeded;
            tableClusters = tableNeeded;
        }
        if (tableClusters << bits > REFCOUNT_TABLE_BYTES_MAX) {
            throw Qcow2Header.flaw(file, ErrorKind.UNSUPPORTED, "its refcount table would become too long");
        }
        for (long cluster = start; cluster < start + blocks + tableClusters; cluster++) {
            references.add(cluster);
        }
        byte[] newTable = new byte[(int) (tableClusters << bits)];
        for (int i = 0; i < blocks; i++) {
            byte[] counts = new byte[(int) header.clusterBytes()];
            for (int k = 0; k < perBlock; k++) {
                Counts.set(counts, k, header.refcountOrder(), checked(references.count(i * perBlock + k)));
            }
            file.write((start + i) << bits, counts);
            u64(newTable, i * 8, (start + i) << bits);
        }
        file.write((start + blocks) << bits, newTable);
        file.flush();
        byte[] fields = new byte[12];
        u64(fields, 0, (start + blocks) << bits);
        s32(fields, 8, (int) tableClusters);
        file.write(REFCOUNT_TABLE_OFFSET, fields);
        file.flush();
    }
}
