# The tables in src/*.def, read by CMake: the version script and the manual pages come from the same lines as the code.

# hak_table_read(<variable> <file> <macro>): the rows of a table, that is, what stands between the parentheses of each
# use of the macro, comments apart. A semicolon would split a row of a CMake list; see hak_table_cell.
function(hak_table_read variable file macro)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} text)
    string(REPLACE ";" "HAK_SEMICOLON" text "${text}")
    string(REGEX REPLACE "/\\*[^*]*\\*+([^/*][^*]*\\*+)*/" "" text "${text}")
    string(REGEX MATCHALL "${macro}\\(([^()\"]|\"[^\"]*\")*\\)" rows "${text}")
    list(TRANSFORM rows REPLACE "^${macro}\\((.*)\\)$" "\\1")
    if(NOT rows)
        message(FATAL_ERROR "${file}: no row of the form ${macro}(...)")
    endif()
    set(${variable} ${rows} PARENT_SCOPE)
endfunction()

# hak_table_cells(<row> <variable>...): the cells of a row, without quotes and blanks around them.
function(hak_table_cells row)
    string(REGEX MATCHALL "\"[^\"]*\"|[^, \n\"][^,\n\"]*" cells "${row}")
    foreach(variable IN LISTS ARGN)
        list(POP_FRONT cells cell)
        string(REGEX REPLACE "^\"[ ]*(.*[^ ])[ ]*\"$" "\\1" cell "${cell}")
        string(REPLACE "HAK_SEMICOLON" ";" cell "${cell}")
        set(${variable} "${cell}" PARENT_SCOPE)
    endforeach()
endfunction()

# The lists of the manual pages, as mdoc text: MAN_SYMBOLS, MAN_OPTIONS, MAN_STATS, MAN_ERRORS and MAN_WARNINGS.
function(hak_manual_lists)
    hak_table_read(symbols src/symbols.def X)
    list(JOIN symbols ",\n" symbol_text)

    set(option_text "")
    hak_table_read(rows src/options.def X)
    foreach(row IN LISTS rows)
        hak_table_cells("${row}" id name kind default min max doc)
        string(APPEND option_text
            ".It Ev HAKMEM_${id} Pq Ql ${name}\n${doc}\n.Pq ${min} to ${max}, default ${default} .\n")
    endforeach()

    set(stat_text "")
    hak_table_read(rows src/stats.def X)
    foreach(row IN LISTS rows)
        hak_table_cells("${row}" field name unit doc)
        string(APPEND stat_text ".It Li ${name}\n${doc}\n")
    endforeach()

    set(error_text "")
    hak_table_read(rows src/errors.def X)
    foreach(row IN LISTS rows)
        hak_table_cells("${row}" id what advice)
        string(APPEND error_text ".It Sy \"${what}\"\n${advice}\n")
    endforeach()

    set(warning_text "")
    hak_table_read(rows src/errors.def W)
    foreach(row IN LISTS rows)
        hak_table_cells("${row}" id what)
        string(APPEND warning_text ".It Sy \"${what} ...\"\n")
    endforeach()

    foreach(list IN ITEMS symbol option stat error warning)
        string(TOUPPER "MAN_${list}S" variable)
        string(STRIP "${${list}_text}" text)
        set(${variable} "${text}" PARENT_SCOPE)
    endforeach()
endfunction()
