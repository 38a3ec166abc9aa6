package dev.ferry.image;

import dev.ferry.block.IoBuffer;

/** Writes content by an {@link ImageWriter}, cluster by cluster. */
public final class OnePass {
    private OnePass() {}

    /** @param file the one that the writer was begun in */
    public static void write(FileBytes file, ImageWriter writer, byte[] content) throws Exception {
        int cluster = writer.clusterBytes();
        IoBuffer plain = IoBuffer.allocate(cluster);
        IoBuffer packed = IoBuffer.allocate(writer.packedBytesMax());
        try (ClusterPacker packer = writer.packer()) {
            for (int at = 0; at < content.length; at += cluster) {
                int there = Math.min(cluster, content.length - at);
                plain.zero(0, cluster);
                plain.copyFrom(content, at, 0, there);
                if (plain.isZero(0, cluster)) {
                    writer.zeroes(1);
                    continue;
                }
                int came = packer == null ? ClusterPacker.AS_IT_IS : packer.pack(at / cluster, plain, 0, packed, 0);
                int length = came == ClusterPacker.AS_IT_IS ? cluster : came;
                byte[] bytes = new byte[length];
                (came == ClusterPacker.AS_IT_IS ? plain : packed).copyTo(0, bytes, 0, length);
                file.write(writer.place(length), bytes);
            }
        }
        writer.finish();
    }
}
