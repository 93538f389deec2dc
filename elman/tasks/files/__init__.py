"""Files of data: tables read row by row, arrays mapped into memory."""
