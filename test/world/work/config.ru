# Work for puma: documents made, changed and taken apart again.
# SPDX-License-Identifier: MIT
require "json"
require "zlib"

run lambda { |env|
  count = env["PATH_INFO"].delete("/").to_i
  records = (0...count).map do |i|
    { "id" => i, "name" => "record #{i * 7919 % 1000}", "tags" => ["t#{i % 9}"] * (i % 5) }
  end
  text = JSON.generate(records.sort_by { |record| record["name"] })
  body = Zlib.crc32(JSON.parse(text).map { |record| record["name"].upcase }.join(",")).to_s + text
  [200, { "content-type" => "text/plain" }, [body]]
}
