// Work for Java's memory outside of the heap: direct buffers, compressors, mapped files, threads.
// SPDX-License-Identifier: MIT
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

public class Buffers {
    static long direct(int seed) {
        Random random = new Random(seed);
        ByteBuffer[] slots = new ByteBuffer[200];
        long sum = 0;
        for (int i = 0; i < 1500; i++) {
            int place = random.nextInt(slots.length);
            if (slots[place] != null)
                sum += slots[place].getLong(0) + slots[place].get(slots[place].capacity() - 1);
            slots[place] = ByteBuffer.allocateDirect(8 + random.nextInt(60000));
            slots[place].putLong(0, i);
            slots[place].put(slots[place].capacity() - 1, (byte) i);
        }
        return sum;
    }

    static long compress(int seed) throws DataFormatException {
        byte[] plain = new byte[300000];
        new Random(seed).nextBytes(plain);
        for (int i = 0; i < plain.length; i++)
            plain[i] &= 3;
        long sum = 0;
        for (int level = 1; level <= 9; level += 4) {
            Deflater deflater = new Deflater(level);
            deflater.setInput(plain);
            deflater.finish();
            byte[] packed = new byte[plain.length];
            int length = deflater.deflate(packed);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, length);
            byte[] back = new byte[plain.length];
            sum += inflater.inflate(back) + length;
            inflater.end();
            if (!Arrays.equals(plain, back))
                throw new IllegalStateException("not what was packed");
        }
        return sum;
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(2);
        List<Future<Long>> found = new ArrayList<>();
        for (int i = 0; i < 16; i++) {
            int seed = i;
            found.add(pool.submit(() -> direct(seed)));
            found.add(pool.submit(() -> compress(seed)));
        }
        for (Future<Long> one : found)
            System.out.println(one.get());
        pool.shutdown();
        Path path = Files.write(Path.of("mapped"), new byte[1 << 20]);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            channel.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20).putLong(4096, 12345);
        }
        System.out.println(Arrays.hashCode(Files.readAllBytes(path)));
    }
}
