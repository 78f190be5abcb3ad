#!/usr/bin/env escript
%% Work for Erlang: processes and messages, binaries, tables, big numbers.
%% SPDX-License-Identifier: MIT
main(_) ->
    Self = self(),
    Workers = [spawn(fun() -> Self ! {self(), work(N)} end) || N <- lists:seq(1, 50)],
    Results = [receive {Worker, Result} -> Result end || Worker <- Workers],
    io:format("~p~n", [erlang:phash2(Results)]),
    Table = ets:new(table, [ordered_set, public]),
    [ets:insert(Table, {N * 7919 rem 100003, binary:copy(<<"x">>, N rem 300)}) || N <- lists:seq(1, 100000)],
    io:format("~p ~p~n", [ets:info(Table, size), ets:foldl(fun({_, B}, Sum) -> Sum + byte_size(B) end, 0, Table)]),
    ets:delete(Table),
    io:format("~p~n", [erlang:phash2(lists:foldl(fun(N, P) -> N * P end, 1, lists:seq(1, 3000)))]),
    Packed = zlib:compress(binary:copy(<<"erlang ">>, 500000)),
    io:format("~p~n", [byte_size(zlib:uncompress(Packed))]).

work(N) ->
    Text = iolist_to_binary([[integer_to_binary(I * N rem 1009), <<",">>] || I <- lists:seq(1, 5000)]),
    Parts = binary:split(Text, <<",">>, [global]),
    {length(Parts), erlang:md5(lists:sort(Parts)), byte_size(binary:copy(Text, 20))}.
