// Work for Mono: unmanaged memory, threads, collections, text.
// SPDX-License-Identifier: MIT
using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading.Tasks;

class Work {
    static long Unmanaged(int seed) {
        var random = new Random(seed);
        var slots = new IntPtr[300];
        long sum = 0;
        for (int i = 0; i < 100000; i++) {
            int place = random.Next(slots.Length);
            if (slots[place] != IntPtr.Zero) {
                sum += Marshal.ReadInt32(slots[place]);
                Marshal.FreeHGlobal(slots[place]);
            }
            slots[place] = Marshal.AllocHGlobal(4 + random.Next(20000));
            Marshal.WriteInt32(slots[place], i);
        }
        foreach (var block in slots)
            Marshal.FreeHGlobal(block);
        return sum;
    }

    static void Main() {
        var sums = new long[8];
        Parallel.For(0, 8, i => { sums[i] = Unmanaged(i); });
        Console.WriteLine(string.Join(" ", sums));
        var table = new Dictionary<string, List<int>>();
        for (int i = 0; i < 300000; i++) {
            var key = "key " + i * 7919L % 1000;
            if (!table.ContainsKey(key))
                table[key] = new List<int>();
            table[key].Add(i);
        }
        Console.WriteLine(table.OrderBy(entry => entry.Key).Sum(entry => entry.Value.Sum(value => (long)value)));
        var text = string.Join(",", Enumerable.Range(0, 100000).Select(i => new string('x', i % 30) + i));
        Console.WriteLine(text.Split(',').Select(part => part.Replace("x", "yz").Length).Sum());
    }
}
