-- wrk -s load.lua URL -- FILE [STATUS COUNT PATTERN]
-- Sends the requests of FILE in turn, one per line: METHOD PATH BODY. With STATUS, every response must have it and match
-- PATTERN COUNT times. Reading responses costs wrk more than sending requests, so timed runs do not check them.
local threads = {}

function setup(thread)
  thread:set('at', #threads * 997)
  table.insert(threads, thread)
end

function init(args)
  requests, wrong, seen = {}, 0, ''
  wrk.headers['Content-Type'] = 'application/json'
  for line in io.lines(args[1]) do
    local method, path, body = line:match('^(%S+) (%S+) ?(.*)$')
    table.insert(requests, wrk.format(method, path, nil, body ~= '' and body or nil))
  end
  if args[2] then
    local expected, count, pattern = tonumber(args[2]), tonumber(args[3]), args[4]
    response = function(status, _, body)
      local _, found = body:gsub(pattern, '')
      if status ~= expected or found ~= count then
        wrong, seen = wrong + 1, status .. ' ' .. body:sub(1, 200)
      end
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local wrong, seen = 0, ''
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get('wrong')
    if thread:get('seen') ~= '' then seen = thread:get('seen') end
  end
  local e = summary.errors
  print(string.format('DONE %d %d %d %d %d %s', summary.requests, summary.duration, summary.bytes,
    e.connect + e.read + e.write + e.timeout, e.status + wrong, seen))
end
