% Work for Octave: matrices, cells, structures, text, files.
% SPDX-License-Identifier: MIT
rand("twister", 12345);
A = rand(400) + 400 * eye(400);
printf("solve %.6f\n", sum(A \ ones(400, 1)));
printf("values %.4f\n", sum(abs(eig(A + A'))));
printf("spectrum %.4f\n", sum(abs(fft(rand(1, 2^17)))(2:100)));
printf("sorted %d\n", numel(unique(floor(sort(rand(1, 1e6)) * 1000))));
c = {};
for i = 1:4000
  c{end + 1} = sprintf("text %d %s", mod(i * 7919, 1000), repmat("x", 1, mod(i, 40)));
  s.(sprintf("field%d", mod(i, 200))) = rand(1, mod(i, 300) + 1);
end
printf("cells %d %d\n", numel(strjoin(sort(c), ",")), numel(fieldnames(s)));
printf("matches %d\n", numel(cell2mat(regexp(c, '\d+'))));
S = sprand(2000, 2000, 0.002) + speye(2000) * 10;
printf("sparse %.6f\n", sum(S \ ones(2000, 1)) > 0);
for i = 1:300, M = zeros(i, i); M(:, end + 1) = 1; end
save("-binary", "saved.bin", "c", "A"); x = load("saved.bin");
printf("loaded %d\n", isequal(x.c, c) && isequal(x.A, A));
