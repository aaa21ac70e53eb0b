-- Confirms that this server is the master of the epoch and takes writes. Changes nothing.
return {'ok'}
