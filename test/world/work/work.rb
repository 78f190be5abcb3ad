# Work for Ruby: strings, hashes, objects, big numbers, threads, fibers, child processes.
# SPDX-License-Identifier: MIT
require "json"
require "digest"
require "zlib"
require "set"

def records(count)
  (0...count).map { |i| { "id" => i, "name" => "record #{i * 7919 % 1000}", "tags" => ["t#{i % 9}"] * (i % 5) } }
end

def documents
  text = JSON.generate(records(5000).sort_by { |record| [record["name"], record["id"]] })
  Digest::SHA256.hexdigest(JSON.parse(text).map { |record| record["name"].upcase }.join(",") + text)
end

def texts
  text = (0...20000).map { |i| "line #{i} " + "x" * (i % 70) }.join("\n")
  words = text.scan(/\w+/).tally.sort_by { |word, count| [-count, word] }.first(50)
  Digest::SHA256.hexdigest(words.inspect + text.gsub(/x+/) { |run| run.length.to_s }.tr("a-e", "A-E"))
end

def numbers = ((1..1200).inject(:*) ** 2).to_s.sum.to_s + (2**5000).digits.sum.to_s

def threads
  queue = Queue.new
  workers = 4.times.map { |n| Thread.new { 500.times { |i| queue << ("w#{n}-#{i}" * (i % 50)) } } }
  workers.each(&:join)
  queue.size.times.map { queue.pop }.sort.join.sum
end

def fibers
  500.times.map { |i| Fiber.new { Fiber.yield("f" * i); i } }.sum { |fiber| fiber.resume.length + fiber.resume }
end

def compressed = Zlib::Inflate.inflate(Zlib::Deflate.deflate("abc" * 300000)).length

def child
  reader, writer = IO.pipe
  pid = fork { reader.close; writer.write(documents); exit!(0) }
  writer.close
  text = reader.read
  Process.wait(pid)
  text
end

ARGV[0].to_i.times do |round|
  results = [documents, texts, numbers, threads, fibers, compressed, child]
  GC.compact if round == 3
  GC.start
  puts results.inspect if round.zero?
end
