-- Arguments after "--": METHOD BODY_BYTES PIPELINE [NAME VALUE]...
-- One request is built once per thread and repeated; the summary leaves as one line of JSON.

local pipeline

function init(args)
  wrk.method = args[1]
  local size = tonumber(args[2])
  pipeline = tonumber(args[3])
  for i = 4, #args, 2 do
    wrk.headers[args[i]] = args[i + 1]
  end
  if size > 0 then
    wrk.body = string.rep("x", size)
  end
  if pipeline > 1 then
    local batch = string.rep(wrk.format(), pipeline)
    request = function() return batch end
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'JSON {"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "p999": %d, "max": %d, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max, e.connect, e.read, e.write, e.status, e.timeout))
end
