-- Sends the lines of a file as bodies, in turn. An "@" in a line becomes an id that no request had before, so that no
-- answer comes from the record of an earlier one. Arguments: file of the head, file of the bodies, name of the run,
-- line to start with.

local head, before, after = nil, {}, {}
local run, sent, line = "", 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  head = file:read("*a")
  file:close()
  for text in io.lines(args[2]) do
    local place = text:find("@", 1, true)
    before[#before + 1] = place and text:sub(1, place - 1) or text
    after[#after + 1] = place and text:sub(place + 1) or ""
  end
  run, line = args[3], tonumber(args[4])
end

function request()
  sent = sent + 1
  line = line % #before + 1
  local id = after[line] == "" and "" or run .. sent
  local body = before[line] .. id .. after[line]
  return head .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    "figures {\"answers\": %d, \"seconds\": %.6f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, "
      .. "\"not_2xx\": %d, \"connect\": %d, \"read\": %d, \"write\": %d, \"timeout\": %d}\n",
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
