# Work for puma: documents made, changed and taken apart again.
# SPDX-License-Identifier: MIT
require "json"
require "digest"

run lambda { |env|
  count = env["PATH_INFO"].delete("/").to_i
  records = (0...count).map { |i| { "id" => i, "name" => "record #{i * 7919 % 1000}", "tags" => ["t#{i % 9}"] * (i % 5) } }
  text = JSON.generate(records.sort_by { |record| record["name"] })
  body = Digest::SHA256.hexdigest(JSON.parse(text).map { |record| record["name"].upcase }.join(",")) + text
  [200, { "content-type" => "text/plain" }, [body]]
}
